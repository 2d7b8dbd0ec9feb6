def serve_prober(settings, dry_run):
    raise NotImplementedError
