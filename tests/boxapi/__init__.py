"""A box API service for tests: boxes that are a directory and processes of this machine, behind the HTTP API that the
public SDKs speak, and behind the contract of a control plane (docs/control-plane.yaml).

    service.py    the whole service: two HTTP servers over one set of boxes
    api.py        the box API, route by route
    plane.py      the control plane's contract
    boxes.py      boxes, their states and snapshots
    processes.py  commands in a box: started, frozen, ended
    files.py      paths and files of a box
    multipart.py  uploads
    transport.py  HTTP: requests, answers, streams

The edge answers requests about previews, not this service. `python3 -m boxapi --help` (in tests/) runs it by hand.
"""
