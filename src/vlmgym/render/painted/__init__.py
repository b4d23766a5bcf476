"""Painted scenes: pictures for jigsaws that need no download, made when they are asked for.

``brush`` is what they are painted with, ``nature`` holds what several scenes share, ``scenes`` the
scenes themselves, and the source that has them in a train and a test part.
"""
