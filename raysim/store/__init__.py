"""What has been computed: entries, retention, references, transfers, the task log, garbage collection."""
