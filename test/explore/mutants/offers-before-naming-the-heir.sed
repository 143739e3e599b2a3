# check: named-before-offer
# Sends the offer, then writes the heir.
/^in_serving(/,/^}/ s/write_record(s, WRITING_HEIR, h->me, h->down);/add(s, HANDOFF_ADOPT);\n\t\t&/
/^heir_written(/,/^}/ s/add(s, HANDOFF_ADOPT);/;/
