"""Faces: finding them, following them, choosing whom to sync, and cutting crops.

detectors   one picture  → detections
tracking    a video      → tracks (one streaming pass), with `cuts` between shots and the `appearance` of each face
people      tracks       → people, known again after a cut
speakers    people       → the face of the person to sync; `talking` tells who talks
presence    a face       → segments where it is there
crops       boxes        → affine crops for the network, and back
"""
