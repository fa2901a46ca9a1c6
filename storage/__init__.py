"""What any file needs: whole writes, locks, scanning of untrusted files, weights, downloads, checkpoint folders."""
