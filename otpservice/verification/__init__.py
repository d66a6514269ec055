"""The domain: what a verification is and how it may change. No Flask, no Redis, no HTTP."""
