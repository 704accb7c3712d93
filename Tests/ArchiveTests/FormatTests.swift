import Archive
import ArchiveFixtures
import Faults
import Glibc
import Linux
import Testing

extension ArchiveTests {
  @Suite(.enabled(if: isRoot, "needs root: owners and devices")) struct FormatTests {
    /// Compressors, some of them in several members or frames.
    static let compressors = [
      "cat", "gzip -c", "sh -c 'head -c 70001 | gzip -c; gzip -9c'", "sh -c 'gzip -c; head -c 4096 /dev/zero'",
      "zstd -qc", "sh -c 'head -c 70001 | zstd -qc; zstd -19 -qc'", "xz -c", "sh -c 'head -c 70001 | xz -c; xz -0c'",
      "bzip2 -c", "sh -c 'head -c 70001 | bzip2 -c; bzip2 -c'",
    ]

    /// Every format plain, and one of them in every compression.
    static let packings =
      ["gnu", "ustar", "oldgnu"].map { (format: $0, compress: "cat") }
      + compressors.map { (format: "pax", compress: $0) }

    @Test("What GNU tar packs comes out as GNU tar unpacks it", arguments: packings)
    func format(_ format: String, _ compress: String) throws {
      let scratch = Scratch()
      let made = shell(
        """
        set -e
        cd '\(scratch.path)'
        mkdir -p in/etc in/usr/bin in/deep in/sgid out
        cd in
        seq 1 60000 >etc/numbers
        head -c 300000 /dev/urandom >usr/bin/tool
        chmod 4755 usr/bin/tool
        chmod 2775 sgid
        ln usr/bin/tool usr/bin/tool2
        ln -s ../etc/numbers usr/link
        ln -s /nowhere usr/dangling
        mkfifo fifo
        mknod null c 1 3
        chown 1000:1001 etc/numbers
        touch -d '2001-02-03 04:05:06.789' etc/numbers
        for i in $(seq 1 60); do echo $i >etc/file$i; done
        truncate -s 3M sparse; echo data | dd of=sparse bs=1 seek=1000000 conv=notrunc status=none
        mkdir -p deep/$(printf 'n%.0s' $(seq 90))/$(printf 'm%.0s' $(seq 60))
        echo x >deep/$(printf 'n%.0s' $(seq 90))/$(printf 'm%.0s' $(seq 60))/file
        touch -d '2002-02-03 04:05:06' deep etc usr/bin
        chmod 0555 deep
        cd ..
        tar --format=\(format) \(format == "ustar" ? "" : "--sparse") -C in -cf plain.tar .
        tar -C out -xpf plain.tar --numeric-owner
        \(compress) <plain.tar >blob
        """)
      try #require(made.status == 0, "\(made.output)")
      scratch.folder("fs")
      let folder = try openat2(nil, scratch["fs"].string, [.readOnly, .directory])
      let layer = try LayerUnpacking.unpack(blob: scratch["blob"], into: folder.rawValue)
      let compared = shell(
        """
        cd '\(scratch.path)'
        for d in out fs; do
          (cd $d; find . ! -path . -printf '%p %y %m %U:%G %s %T@ %l %n\\n' | sed 's/ d \\([0-7]* [0-9:]*\\) [0-9]* / d \\1 /' | sort
           find . -type f -exec sha256sum {} + | sort -k2) >$d.txt
        done
        diff out.txt fs.txt && sha256sum plain.tar
        """)
      #expect(compared.status == 0, "\(compared.output)")
      let zeros = compress.contains("/dev/zero") ? "" : layer.diffID.hex
      #expect(compared.output.hasPrefix(zeros), "\(layer.diffID)")
      let sparse = try FileStatus("\(scratch["fs"])/sparse")
      #expect(sparse.size == 3 << 20 && (format == "ustar" || sparse.blocks * 512 < 1 << 20), "holes stay holes")
    }

    @Test("Sparse files in all of GNU tar's pax encodings", arguments: ["0.0", "0.1", "1.0"])
    func sparse(_ version: String) throws {
      let scratch = Scratch()
      let made = shell(
        """
        set -e
        cd '\(scratch.path)'
        mkdir in fs
        truncate -s 200M in/s; for i in 1 50 199; do echo $i | dd of=in/s bs=1M seek=$i conv=notrunc status=none; done
        tar --format=pax --sparse --sparse-version=\(version) -C in -cf blob s
        """)
      try #require(made.status == 0, "\(made.output)")
      let folder = try openat2(nil, scratch["fs"].string, [.readOnly, .directory])
      let layer = try LayerUnpacking.unpack(blob: scratch["blob"], into: folder.rawValue)
      #expect(layer.bytes < 1 << 20)
      #expect(shell("cmp '\(scratch["in/s"])' '\(scratch["fs/s"])'").status == 0)
      #expect(try FileStatus(scratch["fs/s"].string).blocks < 1000)
    }

    @Test("A cut-off or damaged stream is told, in every compression", arguments: compressors)
    func damaged(_ compress: String) throws {
      let scratch = Scratch()
      let plain = Tar { tar in
        for index in 0..<200 { tar.file("file\(index)", String(repeating: "\(index * 7919) ", count: 300)) }
      }.archive
      scratch.write("plain", plain)
      let made = shell("\(compress) <'\(scratch["plain"])' >'\(scratch["whole"])'")
      try #require(made.status == 0, "\(made.output)")
      let whole = try Files.read(scratch["whole"].string, limit: 1 << 24)
      // Half way, and for compressed streams within the last bytes as well.
      for count in [whole.count / 2, whole.count - (compress == "cat" ? 2000 : compress.contains("zero") ? 4200 : 5)] {
        let unpacked = try Unpacked(Array(whole.prefix(count)))
        #expect(unpacked.code == .corrupt, "\(count) of \(whole.count): \(unpacked.result)")
      }
      if compress != "cat" {
        var flipped = whole
        for offset in stride(from: whole.count / 3, to: whole.count / 3 + 40, by: 3) { flipped[offset] ^= 0x55 }
        #expect(try Unpacked(flipped).code == .corrupt)
      }
    }

    @Test("What is not an archive is told", arguments: ["text", "gzip of text", "garbage after gzip", "random"])
    func notAnArchive(_ kind: String) throws {
      let text = Array(String(repeating: "this is not a tar archive\n", count: 100).utf8)
      let unpacked =
        switch kind {
        case "text": try Unpacked(text)
        case "gzip of text": try Unpacked(text, compress: "gzip -c")
        case "garbage after gzip":
          try Unpacked(Tar { $0.file("a") }.archive, compress: "sh -c 'gzip -c; echo garbage'")
        default: try Unpacked((0..<5000).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) })
        }
      #expect(unpacked.code == .corrupt, "\(unpacked.result)")
    }

    @Test("A wrong checksum in gzip is told even when the content unpacks")
    func checksum() throws {
      let scratch = Scratch()
      scratch.write("plain", Tar { $0.file("a", "hello") }.archive)
      _ = shell("gzip -c <'\(scratch["plain"])' >'\(scratch["gz"])'")
      var bytes = try Files.read(scratch["gz"].string)
      bytes[bytes.count - 6] ^= 1
      #expect(try Unpacked(bytes).code == .corrupt)
    }
  }
}
