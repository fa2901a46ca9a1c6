"""What any training needs: ranks, optimiser and schedule, accumulation, bad steps, stopping."""
