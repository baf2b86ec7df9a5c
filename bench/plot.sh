#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# plot.sh FILE.json DIRECTORY: the figures of a run of gyre-bench as DIRECTORY/bench-CASE.svg, one file a case: a panel for
# each metric, a cluster for each set of parameters, a bar for each peer (the median), with whiskers from the least to
# the greatest. A panel whose figures lie far apart is logarithmic, and says so. The background is transparent and lines
# and texts are of a grey that stands out on white as on black. Needs gnuplot, with its svg terminal.
#
# PLOT_TERMINAL=png writes PNG instead, on white, for a look.

set -euo pipefail
. "$(dirname "$0")/rows.sh"

if [ $# -ne 2 ]; then
    echo "usage: plot.sh FILE.json DIRECTORY" >&2
    exit 2
fi
if ! command -v gnuplot >/dev/null; then
    echo "plot.sh: gnuplot is not installed" >&2
    exit 77
fi

scratch=$(mktemp -d "${TMPDIR:-/tmp}/gyre-plot.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
rows "$1" >"$scratch/rows"

grey='#808890'
width=860
panel_height=300

colour() { # PEER
    case $1 in
    gyre) echo '#d1495b' ;;
    raw) echo '#9aa0a6' ;;
    libuv | haproxy) echo '#3d8bcc' ;;
    libevent | nginx) echo '#4c9f70' ;;
    libev) echo '#c08b2c' ;;
    asio) echo '#8d6cc4' ;;
    *) echo '#50a3a4' ;;
    esac
}

peers_of() { awk -F '\t' -v name="$1" '$1 == name && !($5 in seen) { seen[$5]; print $5 }' "$scratch/rows"; }

metrics_of() {
    awk -F '\t' -v name="$1" '$1 == name && $3 != "syscalls" && !($3 in seen) { seen[$3]; print $3 }' "$scratch/rows"
}

# matrix CASE METRIC PEERS: a row for each set of parameters, three columns for each peer; "-" where there is none.
matrix() {
    awk -F '\t' -v name="$1" -v metric="$2" -v peers="$3" '
        BEGIN { count = split(peers, peer, " ") }
        NR == FNR { if ($1 == name && ($2 !~ /=1$/ || $2 ~ / /)) measured = 1; next }
        $1 == name && $3 == metric {
            params = $2
            if (!measured) sub(/=1$/, "", params) # where all are such, "timer=1" chooses the timer
            gsub(/ /, "\\n", params)
            if (params == "") params = name
            if (!(params in known)) { known[params]; order[++rows] = params }
            value[params, $5] = $6 " " $7 " " $8
        }
        END {
            for (i = 1; i <= rows; i++) {
                line = "\"" order[i] "\""
                for (j = 1; j <= count; j++)
                    line = line " " ((order[i], peer[j]) in value ? value[order[i], peer[j]] : "- - -")
                print line
            }
        }' "$scratch/rows" "$scratch/rows"
}

# spread CASE METRIC: the least and the greatest figure.
spread() {
    awk -F '\t' -v name="$1" -v metric="$2" '
        $1 == name && $3 == metric {
            if (!any++ || $7 + 0 < least) least = $7 + 0
            if ($8 + 0 > greatest) greatest = $8 + 0
        }
        END { print least, greatest }' "$scratch/rows"
}

# panel CASE METRIC PEERS LEGEND: gnuplot commands for one metric; the legend stands once, over the first panel.
panel() {
    local name=$1 metric=$2 peers=$3 legend=$4 data=$scratch/$1.$2 unit least greatest at=0 plots="" peer
    matrix "$name" "$metric" "$peers" >"$data"
    unit=$(awk -F '\t' -v name="$name" -v metric="$metric" '$1 == name && $3 == metric { print $4; exit }' "$scratch/rows")
    read -r least greatest < <(spread "$name" "$metric")
    unit=$metric${unit:+, $unit}
    unit=${unit%, "$metric/op"} # "bytes, bytes/op"
    if awk "BEGIN { exit !($least > 0 && $greatest / $least > 30) }"; then
        echo "set logscale y"
        echo "set yrange [$least / 2 : $greatest * 2]"
        unit="$unit (logarithmic)"
    else
        echo "unset logscale y"
        echo "set yrange [0 : $greatest * 1.08]"
    fi
    echo "set xrange [-0.7 : $(wc -l <"$data") - 0.3]"
    echo "set ylabel '$unit' textcolor rgb '$grey'"
    echo "$legend"
    for peer in $peers; do
        plots="$plots${plots:+, }'$data' using (column($((2 + at)))):(column($((3 + at)))):(column($((4 + at)))):xtic(1)"
        plots="$plots title '$peer' linecolor rgb '$(colour "$peer")'"
        at=$((at + 3))
    done
    echo "plot $plots"
}

figure() { # CASE FILE
    local name=$1 file=$2 peers metrics count metric legend="set key outside top center horizontal textcolor rgb '$grey'"
    peers=$(peers_of "$name" | tr '\n' ' ')
    metrics=$(metrics_of "$name")
    count=$(echo "$metrics" | wc -l)
    {
        if [ "${PLOT_TERMINAL:-svg}" = png ]; then
            echo "set terminal pngcairo size $width,$((panel_height * count)) font 'sans,11'"
        else
            echo "set terminal svg size $width,$((panel_height * count)) dynamic font 'sans-serif,13'"
        fi
        echo "set output '$file'"
        echo "set datafile missing '-'"
        echo "set style data histograms"
        echo "set style histogram errorbars gap 2 linewidth 1"
        echo "set style fill solid 0.85 noborder"
        echo "set errorbars 0.5 linecolor rgb '#606870'"
        echo "set bmargin 3.5"
        echo "set border 3 linecolor rgb '$grey'"
        echo "set tics nomirror textcolor rgb '$grey'"
        echo "set grid ytics linecolor rgb '$grey' linetype 1 linewidth 0.3"
        echo "set format y '%.0f'"
        echo "set lmargin 12"
        echo "set multiplot layout $count,1"
        for metric in $metrics; do
            panel "$name" "$metric" "$peers" "$legend"
            legend="unset key"
        done
        echo "unset multiplot"
    } >"$scratch/figure.gnuplot"
    gnuplot "$scratch/figure.gnuplot"
}

mkdir -p "$2"
for name in $(cut -f 1 "$scratch/rows" | awk '!seen[$0]++'); do
    file=$2/bench-$name.${PLOT_TERMINAL:-svg}
    figure "$name" "$file"
    echo "$file"
done
