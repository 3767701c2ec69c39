"""What `bench embedding` is made of: exams, lessons, plots."""
