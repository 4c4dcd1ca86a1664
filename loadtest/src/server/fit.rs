//! What fits.
