# What zsh offers at the end of each line: capture.zsh FOLDER LINE...
#
# An interactive zsh on a pseudo terminal has the functions in FOLDER, types each line and a tab. Of each line comes
# out "== LINE", then what was offered, a word per line.
zmodload zsh/zpty zsh/zselect
folder=$1
shift
hits=$folder/.hits

cat > $folder/.setup <<END
PROMPT= RPROMPT=
unsetopt beep
fpath=(${(q)folder} \$fpath)
autoload -Uz compinit
compinit -u -D
compadd() {
  # Calls that only ask which of their words would fit are not what is offered.
  if [[ " \${@[1,(i)(-|--)]} " == *\ -(O|A|D|O?*|A?*|D?*)\ * ]]; then
    builtin compadd "\$@"
    return
  fi
  local -a found
  builtin compadd -A found "\$@"
  if ((\$#found)); then print -rl -- \$IPREFIX\${^found} >> ${(q)hits}; fi
  builtin compadd "\$@"
}
offer() {
  print -r -- "== \$BUFFER" >> ${(q)hits}
  zle complete-word
  print -r -- "." >> ${(q)hits}
  BUFFER=
}
zle -C complete-word complete-word _main_complete
zle -N offer
bindkey '^T' offer
END

# Wait until the file has so many lines that are $1, and no longer than ten seconds.
await() {
  local tries
  for ((tries = 0; tries < 1000; tries++)); do
    (($(grep -cx -- "$1" $hits) >= $2)) && return
    zselect -t 1
  done
  print -u2 "nothing came of $1 number $2"
  zpty -d shell
  exit 1
}

: > $hits
zpty shell zsh -f -i
zpty -w shell "source ${(q)folder}/.setup; print -r -- ready >> ${(q)hits}"
await ready 1
done=0
for line; do
  zpty -w -n shell "$line"$'\x14'
  await '\.' $((++done))
done
zpty -d shell
grep -vx -e ready -e '\.' $hits
