"""Servers of others, each the shortest program that does the job."""
