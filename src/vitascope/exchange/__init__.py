"""Networks and packages of other programs, in and out."""
