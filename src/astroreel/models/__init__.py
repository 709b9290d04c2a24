"""Classifiers of image sequences: recurrent networks and the forest, and the bundle that holds one."""
