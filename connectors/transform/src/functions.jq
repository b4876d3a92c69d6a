# What differs from jaq's own, or is missing there. A definition may call those above it.
def del(f): delpaths([path(f)]);
def toarray: if isarray then . else [.] end;
def ltrimstr($x): if isstring and ($x | isstring) and startswith($x) then .[($x | length):] end;
def rtrimstr($x): if isstring and ($x | isstring) and endswith($x) then .[:length - ($x | length)] end;
def trimstr($x): ltrimstr($x) | rtrimstr($x);
def leaf_paths: paths(scalars);
def from_entries: reduce .[] as $x ({}; . + {
  ($x | if .key != null then .key elif .k != null then .k elif .name != null then .name
      elif .Name != null then .Name elif .Key != null then .Key else .K end
    | if isstring then . elif . < "" then tojson else error("a key that is no string") end):
  ($x | if has("value") then .value elif has("v") then .v else .Value end)
});
def with_entries(f): to_entries | map(f) | from_entries;
def IN(s): any(s == .; .);
def IN(src; s): any(src == s; .);
def INDEX(stream; f): reduce stream as $row ({}; .[$row | f | tostring] |= $row);
def INDEX(f): INDEX(.[]; f);
def @csv: if isarray then map(
    if isstring then "\"" + (split("\"") | join("\"\"")) + "\""
    elif . == null then "" elif . < "" then tojson
    else error("a field of @csv is an array or an object") end) | join(",")
  else error("@csv takes an array") end;
def @tsv: if isarray then map(
    if isstring then split("\\") | join("\\\\") | split("\t") | join("\\t") | split("\r") | join("\\r") | split("\n") | join("\\n")
    elif . == null then "" elif . < "" then tojson
    else error("a field of @tsv is an array or an object") end) | join("\t")
  else error("@tsv takes an array") end;
