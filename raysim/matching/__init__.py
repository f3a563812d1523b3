"""Whose lines are these: windows of lines, their hashes, the line index, matches, clones, overlap, licences."""
