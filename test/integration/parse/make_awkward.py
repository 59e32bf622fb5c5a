"""Makes the files of awkward/, each with the program that people make such files with.

    python3 -m venv v && v/bin/pip install openpyxl==3.1.5 pyarrow==26.0.1 python-docx==1.2.0 reportlab==5.1.0 pillow==13.0.0
    v/bin/python test/integration/parse/make_awkward.py

They are committed, so that tests need none of these. Dates are fixed where the format has them; what is large (a line of a
gigabyte, bombs) is made by the tests themselves.
"""

import datetime as dt
import gzip
import io
import json
import os
import tarfile
import zipfile

import docx
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen import canvas

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "awkward")
THEN = (2026, 1, 2, 3, 4, 6)
REVIEWS = ["酒店很好，下次还来", "房间太小，隔音很差", "The breakfast was great", "Never again, the room was dirty"]


def write(name, content):
    path = os.path.join(HERE, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode("utf-8"))


def read(name):
    with open(os.path.join(HERE, name), "rb") as file:
        return file.read()


def zipped(members, compression=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name, THEN)
            info.compress_type = compression
            archive.writestr(info, content)
    return out.getvalue()


def tarred(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mtime = 0
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def gzipped(content):
    return gzip.compress(content, mtime=0)


def texts():
    lines = "\n".join(REVIEWS) + "\n"
    write("bom-utf8.txt", b"\xef\xbb\xbf" + lines.encode())
    write("bom-utf16le.txt", b"\xff\xfe" + lines.encode("utf-16-le"))
    write("bom-utf16be.txt", b"\xfe\xff" + lines.encode("utf-16-be"))
    write("gb18030.txt", "\n".join(REVIEWS).encode("gb18030"))
    write("mixed-newlines.txt", "one\r\ntwo\nthree\rfour\r\n\r\nfive")
    write("mac-newlines.csv", "id,text\r1,one\r2,two\r")
    write("utf16-no-bom.csv", "id,text\n1,nice\n2,好\n".encode("utf-16-le"))
    write("quoted-newlines.csv", 'id,text\r\n1,"first\r\nsecond ""quoted"", third"\r\n2,plain\r\n')
    write("open-quote.csv", 'id,text\n1,a\n2,"never closed\n3,c\n')
    write("gb18030.csv", "编号,评论\r\n1,很好\r\n2,很差\r\n".encode("gb18030"))
    write("tabs.tsv", "id\ttext\n1\ta, b\n2\tc\n")
    write("labels-and-prose.csv", "id,category,summary,link\n1,hotel,The room was clean and the staff were kind,https://example.com/1\n2,hotel,Noise from the street all night long,https://example.com/2\n3,food,Soup was cold when it came to the table,https://example.com/3\n")
    write("broken.jsonl", '{"text": "a"}\n{"text": "b\n[]\n{"text": 7}\n{"text": "c"}\n')
    write("cut.json", '[{"text": "a"}, {"te')
    write("questions.jsonl", "\n".join(json.dumps(row) for row in [
        {"question": "Who came?", "context": "Ann came on Monday."},
        {"question": "When?", "context": "Ann came on Monday."},
    ]))
    write("records.yaml", "- text: first\n  score: 1\n- text: |\n    second\n    line\n  score: 2\n")
    write("documents.yaml", "---\ntext: first\n---\ntext: second\n")
    laughs = "a: &a\n" + "  - lol\n" * 9 + "".join(
        f"{now}: &{now}\n" + f"  - *{before}\n" * 9 for before, now in zip("abcdefgh", "bcdefghi"))
    write("billion-laughs.yaml", laughs)
    write("billion-laughs.xml", '<?xml version="1.0"?>\n<!DOCTYPE lolz [\n <!ENTITY lol "lol">\n' + "".join(
        f' <!ENTITY lol{n} "{f"&lol{n - 1 or str()};" * 10}">\n' for n in range(1, 10)) + "]>\n<lolz><l>&lol9;</l><l>x</l></lolz>\n")
    write("external-entity.xml", '<?xml version="1.0"?>\n<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>\n<r><t>&x;</t><t>b</t></r>\n')
    write("records.xml", '<?xml version="1.0" encoding="UTF-8"?>\n<reviews>\n <review id="1"><text>good &amp; cheap</text></review>\n <review id="2"><text><![CDATA[a < b]]></text></review>\n</reviews>\n')
    write("broken.xml", "<?xml version=\"1.0\"?>\n<a><b>one</b><b>two</a>\n")
    write("page.html", "<!DOCTYPE html><html><head><title>t</title><style>p{}</style><script>alert('<p>no</p>')</script></head><body><h1>News &amp; more</h1><p>First <b>bold</b> paragraph.<p>Second&nbsp;one<br>after a break<table><tr><th>name<th>price<tr><td>tea<td>3</table><ul><li>one<li>two</ul></body></html>")
    write("notes.md", "---\ntitle: x\n---\n# Heading *one*\n\nA paragraph over\ntwo lines with a [link](https://example.com) and `code`.\n\n- item one\n- item **two**\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```js\nlet x = 1;\n```\n")
    write("binary.txt", bytes(range(256)) * 8)


def workbook():
    book = openpyxl.Workbook()
    book.properties.created = book.properties.modified = dt.datetime(2026, 1, 2)
    sheet = book.active
    sheet.title = "Reviews"
    sheet["A1"] = "Reviews of 2025"
    sheet.merge_cells("A1:D1")
    sheet.append(["hotel", "date", "review", "stars"])
    rows = [("Blue", dt.date(2025, 3, 4), "很好", 5), (None, dt.datetime(2025, 3, 5, 12, 30), "太差了", 1), ("Red", dt.date(2025, 4, 1), "fine & cheap", 3.5)]
    for row in rows:
        sheet.append(row)
    sheet.merge_cells("A3:A4")
    other = book.create_sheet("中文")
    other.append(["评论", "分数"])
    other.append(["服务周到", "=1+4"])
    empty = book.create_sheet("Empty")
    assert empty is not None
    numbers = book.create_sheet("Numbers")
    for row in range(3):
        numbers.append([row, row * 2])
    out = io.BytesIO()
    book.save(out)
    write("merged-cells.xlsx", out.getvalue())
    merged = openpyxl.Workbook()
    merged.active.append(["hotel", "text"])
    merged.active.append(["Blue", "one"])
    merged.active.append([None, "two"])
    merged.active.append(["Red", None])
    merged.active.append([None, None])
    merged.active.merge_cells("A2:A3")
    merged.active.merge_cells("A4:A5")
    merged.active["B4"] = "shared by both rows"
    merged.active.merge_cells("B4:B5")
    out = io.BytesIO()
    merged.save(out)
    write("merged-text.xlsx", out.getvalue())


def word():
    document = docx.Document()
    document.add_heading("Heading", 1)
    document.add_paragraph("First paragraph with 中文.")
    document.add_paragraph("an item", style="List Bullet")
    table = document.add_table(2, 2)
    for (row, column), text in {(0, 0): "name", (0, 1): "price", (1, 0): "tea", (1, 1): "3"}.items():
        table.cell(row, column).text = text
    document.add_paragraph("Last <paragraph> & end.")
    out = io.BytesIO()
    document.save(out)
    write("letter.docx", out.getvalue())
    with zipfile.ZipFile(io.BytesIO(out.getvalue())) as whole:
        members = [(info.filename, whole.read(info)) for info in whole.infolist()]
    laughs = b'<?xml version="1.0"?><!DOCTYPE w [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    write("entities.docx", zipped([(name, content.replace(b"<?xml version='1.0' encoding='UTF-8' standalone='yes'?>", laughs) if name == "word/document.xml" else content) for name, content in members]))
    write("broken.docx", out.getvalue()[: len(out.getvalue()) // 2])
    write("no-body.docx", zipped([("[Content_Types].xml", b"<Types/>"), ("word/document.xml", b"<not-a-document")]))


def scan(lines, size=(620, 320)):
    image = Image.new("L", size, 255)
    draw = ImageDraw.Draw(image)
    for index, line in enumerate(lines):
        draw.text((30, 30 + 60 * index), line, fill=0, font_size=32)
    return image


def pdf():
    out = io.BytesIO()
    page = canvas.Canvas(out, pagesize=A4, invariant=1)
    page.drawString(72, 700, "The first page has text.")
    page.drawString(72, 680, "In two lines.")
    page.showPage()
    page.drawImage(ImageReader(scan(["A scanned page", "without any text"])), 72, 400, 450, 250)
    page.showPage()
    page.drawString(72, 700, "The third page has text again.")
    page.showPage()
    page.save()
    write("scanned-page.pdf", out.getvalue())
    write("cut.pdf", out.getvalue()[: len(out.getvalue()) // 3])
    out = io.BytesIO()
    page = canvas.Canvas(out, pagesize=A4, invariant=1)
    page.drawImage(ImageReader(scan(["bitonal"]).convert("1")), 72, 400, 450, 250)
    page.showPage()
    page.save()
    write("bitonal-scan.pdf", out.getvalue())
    out = io.BytesIO()
    page = canvas.Canvas(out, pagesize=A4, invariant=1, encrypt="secret")
    page.drawString(72, 700, "hidden")
    page.save()
    write("password.pdf", out.getvalue())
    write("not-a.pdf", b"%PDF-1.7\n" + bytes(range(256)) * 20)
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    out = io.BytesIO()
    page = canvas.Canvas(out, pagesize=A4, invariant=1)
    page.setFont("STSong-Light", 14)
    page.drawString(72, 700, "酒店很好")
    page.save()
    write("chinese-cid.pdf", out.getvalue())


def parquet():
    table = pa.table({"id": [1, 2, 3, 4], "text": REVIEWS, "when": [dt.datetime(2025, 3, day) for day in range(1, 5)], "tags": [["a"], [], ["b", "c"], None]})
    for codec in ["snappy", "gzip", "zstd", "brotli", "none"]:
        out = io.BytesIO()
        pq.write_table(table, out, compression=codec, row_group_size=3)
        write(f"{codec}.parquet", out.getvalue())
    whole = read("snappy.parquet")
    write("truncated.parquet", whole[:-40])
    damaged = bytearray(whole)
    damaged[40:120] = bytes(80)
    write("damaged.parquet", bytes(damaged))
    png = io.BytesIO()
    scan(["in parquet"], (200, 80)).save(png, "PNG")
    out = io.BytesIO()
    pq.write_table(pa.table({"image": [{"bytes": png.getvalue(), "path": "a.png"}], "label": [1]}), out)
    write("images.parquet", out.getvalue())


def images():
    for name, format in [("image.png", "PNG"), ("image.jpg", "JPEG"), ("image.webp", "WEBP")]:
        out = io.BytesIO()
        scan(["Hello"], (160, 90)).save(out, format)
        write(name, out.getvalue())
    write("cut.png", read("image.png")[:60])
    out = io.BytesIO()
    scan(["x"], (40, 40)).save(out, "GIF")
    write("image.gif", out.getvalue())


def archives():
    csv = read("quoted-newlines.csv")
    inner = zipped([("b.txt", b"inner one\ninner two\n"), ("scan.png", read("image.png"))])
    write("nested.zip", zipped([
        ("a/", b""), ("a/data.csv", csv), ("a/inner.zip", inner), ("a/more.tar.gz", gzipped(tarred([("c.jsonl", b'{"text": "from tar"}\n')]))),
        ("empty.txt", b""), ("__MACOSX/._x", b"x"), ("broken.parquet", read("truncated.parquet")), ("letter.docx", read("letter.docx")), ("zuletzt.txt", "最后\n".encode()),
    ]))
    deep = b"deep down\n"
    for level in range(8):
        deep = zipped([(f"level{level}", deep)], zipfile.ZIP_STORED)
    write("too-deep.zip", deep)
    write("traversal.zip", zipped([("../../etc/cron.d/x", b"* * * * * root x\n"), ("/abs.txt", b"absolute\n"), ("good.txt", b"good\n")]))
    write("traversal.tar", tarred([("../evil.txt", b"evil\n"), ("good.txt", b"good\n")]))
    write("cut.zip", read("nested.zip")[:-200])
    write("data.csv.gz", gzipped(csv))
    write("cut.csv.gz", gzipped(b"id,text\n" + b"".join(b"%d,%032x\n" % (n, hash(n * 7919) ** 3) for n in range(40)))[:-60])
    write("files.tar.gz", gzipped(tarred([("a.txt", b"one\n"), ("长名字/" + "很长的名字" * 30 + ".txt", "two 二\n".encode())])))
    write("cut.tar", tarred([("a.txt", b"one\n"), ("b.txt", b"x" * 5000)])[:2000])
    write("images.zip", zipped([("metadata.csv", b"file_name,caption\nimgs/1.png,a word\nimgs/missing.png,nothing\n../../../etc/passwd,evil\nimgs/2.jpg,another\n"), ("imgs/1.png", read("image.png")), ("imgs/2.jpg", read("image.jpg"))]))
    write("bag-of-images.zip", zipped([("1.png", read("image.png")), ("2.jpg", read("image.jpg")), ("3.webp", read("image.webp")), ("4.gif", read("image.gif"))]))
    gbk = io.BytesIO()
    with zipfile.ZipFile(gbk, "w") as archive:
        archive.writestr(zipfile.ZipInfo("XXXX.txt", THEN), b"name in gbk\n")
    write("gbk-name.zip", gbk.getvalue().replace(b"XXXX.txt", "中文".encode("gbk") + b".txt"))


if __name__ == "__main__":
    for step in [texts, workbook, word, pdf, parquet, images, archives]:
        step()
