#!/bin/sh
# Sends a message: send.sh FILE RECIPIENT
set -eu
token=$(xoauthd-token me@example.org --service smtp)
# By a pipe: on its command line everybody could read the token.
printf 'user = "%s"\noauth2-bearer = "%s"\n' 'me@example.org' "$token" |
  curl --silent --show-error --config - --login-options AUTH=XOAUTH2 --crlf \
    --mail-from 'me@example.org' --mail-rcpt "$2" --upload-file "$1" \
    --url 'smtps://smtp.gmail.com:465'
