"""BDEdepth: encoders with a branch at full resolution, and a grid decoder.

Source: Liu et al., Towards Better Data Exploitation in Self-Supervised Monocular Depth Estimation, RA-L 2024
(arXiv 2309.05254).
"""

from .network import BDEdepth

__all__ = ["BDEdepth"]
