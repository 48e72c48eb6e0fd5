"""What is predicted: a folder for each domain. Every task works on any of them."""
