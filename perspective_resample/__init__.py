"""From disparity and camera motion to the view of another camera. Everything keeps the dtype of its input."""
