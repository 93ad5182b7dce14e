# bash completion for sallyport(1). Verbs and options come from the program itself, names of workloads
# and profiles from the running daemon (nothing, when it does not run or may not be asked).

# _sallyport_names workload|profile: their names, a line each.
_sallyport_names() {
	local config=()

	[[ -n ${_sallyport_config-} ]] && config=(-c "$_sallyport_config")
	timeout 2 sallyport "${config[@]}" "$1" list --json 2>/dev/null |
		sed -n 's/^.*"'"$1"'":"\([A-Za-z0-9._-]*\)".*$/\1/p'
}

_sallyport() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local words=() i value=0 _sallyport_config="" line

	# --name=value is three words to readline.
	[[ $cur == "=" ]] && cur=""
	[[ $prev == "=" ]] && prev=${COMP_WORDS[COMP_CWORD - 2]}

	# The words before the cursor that are no options and no option's value.
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-c | --config)
			_sallyport_config=${COMP_WORDS[i + 1]}
			((i++))
			;;
		=) ((i++)) ;;
		-w | -p | -n | -a | -t | -s | -l | -i | -m) ((i++)) ;;
		--local | --json | --help | --version | --follow | --oldest | --dry-run | --below | --all | --dnssec) ;;
		--*) [[ ${COMP_WORDS[i + 1]} == "=" ]] || ((i++)) ;;
		-*) ;;
		*) words+=("${COMP_WORDS[i]}") ;;
		esac
	done

	COMPREPLY=()
	case $prev in
	-c | --config) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); compopt -o filenames; return ;;
	-w | --workload) value=workload ;;
	-p | --profile) value=profile ;;
	--verdict) mapfile -t COMPREPLY < <(compgen -W "allow deny local" -- "$cur"); return ;;
	--state) mapfile -t COMPREPLY < <(compgen -W "secure insecure indeterminate bogus unchecked" -- "$cur"); return ;;
	--svg) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); compopt -o filenames; return ;;
	--color) mapfile -t COMPREPLY < <(compgen -W "auto always never" -- "$cur"); return ;;
	-t | --type) mapfile -t COMPREPLY < <(compgen -W "A AAAA CNAME HTTPS SVCB SRV MX NS SOA DS DNSKEY CAA
		PTR NAPTR TXT ANY" -- "$cur"); return ;;
	-s | --since | --until | --at) mapfile -t COMPREPLY < <(compgen -W "15m 1h 2h 1d 7d 30d" -- "$cur"); return ;;
	--for) mapfile -t COMPREPLY < <(compgen -W "1h 4h 1d 3d 7d" -- "$cur"); return ;;
	-n | --name | -a | --address | --client | --reason | --rule | -l | --limit | --first | --last | -i | --id | \
		--policy-version | -m | --comment | --interval) return ;;
	esac
	if [[ $value != 0 ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_sallyport_names "$value")" -- "$cur")
		return
	fi

	case "${words[*]}" in
	"policy apply" | "policy diff" | "policy diff "* | check)
		if [[ $cur != -* ]]; then
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
			compopt -o filenames
			return
		fi
		;;
	explain)
		if [[ $cur != -* ]]; then
			mapfile -t COMPREPLY < <(compgen -W "$(_sallyport_names workload)" -- "$cur")
			return
		fi
		;;
	top)
		if [[ $cur != -* ]]; then
			mapfile -t COMPREPLY < <(compgen -W "names workloads denied" -- "$cur")
			return
		fi
		;;
	help) words=() ;;
	esac
	line=$(sallyport complete "${words[@]:0:2}" 2>/dev/null) ||
		line=$(sallyport complete "${words[@]:0:1}" 2>/dev/null)
	[[ $cur == -* ]] || line=$(grep -v '^-' <<<"$line")
	mapfile -t COMPREPLY < <(compgen -W "$line" -- "$cur")
	[[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace
}
complete -F _sallyport sallyport
