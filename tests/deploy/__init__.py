"""What is described for production is checked as far as it can be without running it."""
