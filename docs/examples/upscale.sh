#!/bin/sh
# Enlarge one image: a client of the image API that needs nothing but curl.
#
#     IMAGEN_API_KEY=dev-key-pro sh upscale.sh photo.jpg large.jpg scale=4 format=webp
#
# Run again after whatever went wrong, it finds the job that it made before: the name of a request
# is made of what it asks for.
set -eu

url=${IMAGEN_URL:-http://localhost:8000}
if [ $# -lt 2 ]; then
  echo "usage: IMAGEN_API_KEY=KEY sh $0 SOURCE TARGET [scale=2|4] [format=FORMAT] ..." >&2
  exit 2
fi
source=$1 target=$2
shift 2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

header() { # NAME: a header of the last answer
    sed -n "s/^$1: *//Ip" "$folder/headers" | tr -d '\r'
}

refuse() { # WORDS
    echo "refused: $*" >&2
    exit 1
}

patiently() { # CURL ARGUMENTS: ask until there is a good answer; Retry-After says when
    failures=0
    while :; do
        if status=$(curl -sS -D "$folder/headers" -o "$folder/body" -w '%{http_code}' \
            -H "X-API-Key: ${IMAGEN_API_KEY:-}" "$@"); then
            [ "$status" -lt 400 ] && return
            wait=$(header Retry-After)
            [ "${wait:-999}" -le 120 ] || refuse "$status $(cat "$folder/body")"
            echo "again in $wait s: $status $(cat "$folder/body")" >&2
        else
            failures=$((failures + 1)) wait=1
            [ "$failures" -lt 10 ] || refuse "no answer from $url"
        fi
        sleep "$wait"
    done
}

name=$( (echo "$@"; cat "$source") | sha256sum | cut -d ' ' -f 1)
for field; do
    set -- "$@" -F "$field"
    shift
done
patiently -H "Idempotency-Key: $name" "$@" -F "file=@$source" "$url/api/v1/images/upscale"
job=$(header Location)
echo "$job"
patiently "$url$job/result"
mv "$folder/body" "$target"
