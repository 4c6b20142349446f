"""What has to run for long: a render that is killed again and again, and a film of hours."""
