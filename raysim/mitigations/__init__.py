"""What may protect training code, each as a change of an experiment."""
