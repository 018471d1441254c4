"""Objects found, cut apart, drawn and measured; and regions of maps."""
