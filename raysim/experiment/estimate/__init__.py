"""What a run will cost: hours, bytes of disk and memory."""
