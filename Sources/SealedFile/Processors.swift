import CPlatform

/// Whether this process may run on more than one processor, as it was when it first asked.
let hasSecondProcessor = vt_usable_processor_count() != 1
