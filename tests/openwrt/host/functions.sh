# What scripts of services use of OpenWrt's /lib/functions.sh, over the real "uci".

# shellcheck disable=SC2034,SC3043 # for the scripts that read this; ash has local

_sections() { # PACKAGE
	uci -q -X show "$1" | sed -n "s/^$1\.\([^.=]*\)=\(.*\)/\1 \2/p"
}

config_load() {
	_PACKAGE="$1"
	uci -q export "$1" >/dev/null
}

config_foreach() { # FUNCTION [TYPE [ARGUMENT...]]
	local function="$1" type="$2" name of
	shift 2
	# As there: read first, so that the function may change what is read.
	for name in $(_sections "$_PACKAGE" | sed 's/ /=/'); do
		of="${name#*=}"
		name="${name%%=*}"
		[ -n "$type" ] && [ "$type" != "$of" ] || "$function" "$name" "$@"
	done
}

config_get() { # VARIABLE SECTION OPTION [DEFAULT]
	local _value
	_value="$(uci -q get "$_PACKAGE.$2.$3")" || _value="${4:-}"
	eval "$1=\$_value"
}
