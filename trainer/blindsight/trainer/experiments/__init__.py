"""Experiments as files: accuracies that anybody can establish again, with the controls that say where they come from.

An experiment plays the holders in other processes (``blindsight simulate --until publish``), trains on what they
published in a process for each run, and looks at the test images once. No key is ever in a trainer's process.
"""
