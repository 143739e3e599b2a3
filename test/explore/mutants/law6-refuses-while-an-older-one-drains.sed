# check: chains
# Law 6: takes no successor while its own predecessor is still there.
/^in_serving(/,/^}/ s/if (s->in->type == HANDOFF_CANDIDATE) {/if (s->in->type == HANDOFF_CANDIDATE \&\& h->up != 0 \&\& !h->up_ended) {\n\t\tadd_reason(s, HANDOFF_REFUSE_CANDIDATE, HANDOFF_REASON_NONE);\n\t} else &/
