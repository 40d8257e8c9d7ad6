#!/usr/bin/env python3
"""Prints a message of INBOX: fetch.py NUMBER"""
import imaplib
import ssl
import subprocess
import sys


def credential():
    """What AUTHENTICATE XOAUTH2 sends; raises when there is no token."""
    command = ["xoauthd-token", "me@example.org", "--service", "imap"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60, text=True)
    return f"user=me@example.org\x01auth=Bearer {done.stdout.strip()}\x01\x01"


with imaplib.IMAP4_SSL("imap.gmail.com", 993, ssl_context=ssl.create_default_context()) as server:
    xoauth2 = credential().encode()
    # The server explains a refusal in a second challenge, which wants an empty answer.
    server.authenticate("XOAUTH2", lambda challenge: b"" if challenge else xoauth2)
    server.select("INBOX", readonly=True)
    _, parts = server.fetch(sys.argv[1], "(RFC822)")
    sys.stdout.buffer.write(parts[0][1])
