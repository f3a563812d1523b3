"""What a person reads: the page of a run or a sweep, and the summary in the terminal."""
