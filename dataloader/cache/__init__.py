"""What is kept of data sets and teachers between runs: decoded images, and answers."""
