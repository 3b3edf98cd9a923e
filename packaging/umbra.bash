# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Completion of umbra(1) for bash.

_umbra() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local words= modes="auto hardware npt ept shadow-lazy shadow-eager"

	COMPREPLY=()
	case $prev in
	--kernel | --initrd | --dev | --stats | --channel | --disk)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--mmu) words=$modes ;;
	--console) words="stdio pty file=" ;;
	--append | --memory | --cpus | --name | --vcpu | --interval | --count) return ;;
	*)
		case ${COMP_WORDS[1]-} in
		run) words="--kernel --initrd --append --memory --cpus --disk --mmu --name --console
			--channel --dev --stats --help" ;;
		check) words="--dev --help" ;;
		exec) words="--dev --help --" ;;
		list) words="--json --help" ;;
		monitor) words="--json --stats --help" ;;
		report) words="--output --help" ;;
		top) words="--interval --count --help" ;;
		pause | resume | stop | stat | exits | mmu)
			words="--help $(umbra list 2>/dev/null | awk 'NR > 1 { print $1 }')"
			[[ ${COMP_WORDS[1]} != exits ]] || words+=" --vcpu --histogram --json"
			[[ ${COMP_WORDS[1]} != stat ]] || words+=" --interval --count --vcpu --json"
			[[ ${COMP_WORDS[1]} != mmu || $COMP_CWORD -lt 3 ]] || words=$modes
			;;
		esac
		((COMP_CWORD > 1)) || words="run exec check list pause resume stop monitor stat
			top exits report mmu --help"
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -F _umbra umbra
