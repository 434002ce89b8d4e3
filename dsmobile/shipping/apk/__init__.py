"""What is inside an app's package, and whether it is fit to ship."""
