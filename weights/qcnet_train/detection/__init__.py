"""Object detection: letterbox, anchors, the detection head, its loss, average precision.

Everywhere a box is (x0, y0, x1, y1), the edges in pixels from the top left corner; a truth is a row (class, box), a
detection a row (class, score, box), score = objectness * class probability.
"""
