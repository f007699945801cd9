//! That the benches run: small, and without a word on how fast.

mod smoke;
