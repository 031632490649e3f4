"""What a run would need and where its time goes, before it begins."""
