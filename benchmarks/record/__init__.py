"""What a run leaves: the types of results, of costs and of declared contrasts."""
