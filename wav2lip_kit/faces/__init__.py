"""Faces: finding them, following them, choosing whom to sync, and cutting crops.

detectors  one picture  → detections
tracking   a video      → tracks (one streaming pass)
speakers   tracks       → the boxes of the person to sync
presence   boxes        → segments where the face is there
crops      boxes        → affine crops for the network, and back
"""
