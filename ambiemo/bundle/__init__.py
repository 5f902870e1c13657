"""Bundles: write one whole or not at all (`bag`), read one without believing it (`reading`), judge
one (`verify`).
"""
