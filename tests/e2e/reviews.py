"""A part of the Large Movie Review Dataset's archive."""
import sys
import tarfile


def small_archive(archive, directory, per_label):
    """The first reviews of each split and label, per_label[split] of them, which are in no particular order there."""
    wanted = {(split, label): per_label[split] for split in ("train", "test") for label in ("pos", "neg")}
    with tarfile.open(archive) as tar:
        for member in tar:
            parts = member.name.split("/")
            if len(parts) != 4 or not wanted.get((parts[1], parts[2])):
                continue
            target = directory.joinpath(*parts[1:])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(tar.extractfile(member).read())
            wanted[parts[1], parts[2]] -= 1
            if not any(wanted.values()):
                return
    sys.exit(f"the archive has too few reviews: {wanted}")
