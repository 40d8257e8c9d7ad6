#!/bin/sh
# Prints a message of INBOX: fetch.sh NUMBER
set -eu
token=$(xoauthd-token me@example.org --service imap)
# By a pipe: on its command line everybody could read the token.
printf 'user = "%s"\noauth2-bearer = "%s"\n' 'me@example.org' "$token" |
  curl --silent --show-error --config - --login-options AUTH=XOAUTH2 \
    --url "imaps://imap.gmail.com:993/INBOX;MAILINDEX=$1"
