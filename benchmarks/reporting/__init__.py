"""Results and what is made of them: tables, figures and the page."""
