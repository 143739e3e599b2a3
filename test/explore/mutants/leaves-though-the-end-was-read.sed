# check: asks-before-leaving
# Leaves although its successor's end of file was read.
/^leave_if_drained(/,/^}/ s/ && !s->h->down_ended//
