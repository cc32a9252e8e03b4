"""Sends bytes to a prefork_server.py and takes them back. usage: echo_once.py PORT BYTES"""
import os
import socket
import sys
import threading

sent = os.urandom(int(sys.argv[2]))
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5) as s:
    got = s.makefile("rb")
    assert int(got.readline()) > 0
    writer = threading.Thread(target=s.sendall, args=(sent,))
    writer.start()
    assert got.read(len(sent)) == sent, "other bytes came back"
    writer.join()
print("ok")
