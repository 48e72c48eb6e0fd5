"""Thinking: what longer descent, choice by energy and the energy itself are worth."""
