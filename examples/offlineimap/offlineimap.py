"""Tokens from xoauthd, for ~/.offlineimaprc."""
import subprocess


def token(mailbox):
    # What xoauthd says on stderr stays on the terminal; a failure ends the run.
    command = ["xoauthd-token", mailbox, "--service", "imap"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60, text=True)
    return done.stdout.strip()
