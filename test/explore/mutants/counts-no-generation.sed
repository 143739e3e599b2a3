# check: generations
# A successor goes on with its predecessor's generation.
/^in_conn(/,/^}/ s/h->generation = h->highest + 1;/h->generation = h->highest;/
