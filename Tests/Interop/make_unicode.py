"""Makes Sources/Tokenizers/Unicode/UnicodeTables.swift and UnicodeMappings.swift of what the Hugging Face library (tokenizers
0.23.3) says of each character: Oniguruma's properties, the categories and normalisation of its Rust crates.

    python make_unicode.py SCRIPTS_RS OUT

SCRIPTS_RS is tokenizers/src/pre_tokenizers/unicode_scripts/scripts.rs of the library's sources, which it does not tell; OUT
the folder to write to. It takes some minutes, and prints where what is derived is not what the library says.
"""
import os, sys
import re, unicodedata, time
from tokenizers import Regex, normalizers, pre_tokenizers
N=0x110000
CODES=[c for c in range(N) if not 0xD800<=c<0xE000]
ALL=[chr(c) for c in CODES]
text="".join(ALL)
def prop(p):
    a=normalizers.Replace(Regex(p),"\u0001").normalize_str(text); b=normalizers.Replace(Regex(p),"\u0002").normalize_str(text)
    assert len(a)==len(b)==len(ALL)
    return {c for c,x,y in zip(CODES,a,b) if not (ord(x)==c and ord(y)==c)}
R={}
R["cats"]={}
for k in "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co Cn".split():
    for c in prop(r"\p{%s}"%k): R["cats"][c]=k
scripts="Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki Bopomofo Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee Chorasmian Common Coptic Cuneiform Cypriot Cypro_Minoan Cyrillic Deseret Devanagari Dives_Akuru Dogra Duployan Egyptian_Hieroglyphs Elbasan Elymaic Ethiopic Garay Georgian Glagolitic Gothic Grantha Greek Gujarati Gunjala_Gondi Gurmukhi Gurung_Khema Han Hangul Hanifi_Rohingya Hanunoo Hatran Hebrew Hiragana Imperial_Aramaic Inherited Inscriptional_Pahlavi Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kawi Kayah_Li Kharoshthi Khitan_Small_Script Khmer Khojki Khudawadi Kirat_Rai Lao Latin Lepcha Limbu Linear_A Linear_B Lisu Lycian Lydian Mahajani Makasar Malayalam Mandaic Manichaean Marchen Masaram_Gondi Medefaidrin Meetei_Mayek Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean Nag_Mundari Nandinagari New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Ol_Onal Old_Hungarian Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_Sogdian Old_South_Arabian Old_Turkic Old_Uyghur Oriya Osage Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan Saurashtra Sharada Shavian Siddham SignWriting Sinhala Sogdian Sora_Sompeng Soyombo Sundanese Sunuwar Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangsa Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta Todhri Toto Tulu_Tigalari Ugaritic Unknown Vai Vithkuqi Wancho Warang_Citi Yezidi Yi Zanabazar_Square".split()
S={}; names=[]
ok=[]
for s in scripts:
    try: Regex(r"\p{%s}"%s); ok.append(s)
    except Exception as e: print("no script",s)
t=time.time()
for s in ok:
    for c in prop(r"\p{%s}"%s): S[c]=s
print("scripts",time.time()-t,len(S))
R["scripts"]=S
B={}
for b in "Alphabetic Uppercase Lowercase White_Space Emoji Emoji_Presentation Emoji_Modifier Emoji_Modifier_Base Emoji_Component Extended_Pictographic ID_Start ID_Continue XID_Start XID_Continue Cased Case_Ignorable Math Hex_Digit ASCII_Hex_Digit Default_Ignorable_Code_Point Diacritic Dash Hyphen Ideographic Unified_Ideograph Radical Quotation_Mark Terminal_Punctuation Sentence_Terminal Variation_Selector Pattern_Syntax Pattern_White_Space Join_Control Grapheme_Extend Grapheme_Base Grapheme_Link Extender Noncharacter_Code_Point Regional_Indicator Soft_Dotted Bidi_Control Logical_Order_Exception Deprecated Other_Alphabetic IDS_Binary_Operator Any Assigned ASCII Alnum Alpha Blank Cntrl Digit Graph Lower Print Punct Space Upper XDigit Word XPosixPunct L LC M N P S Z C Emoji_Modifier_Base".split():
    try: B[b]=prop(r"\p{%s}"%b)
    except Exception as e: print("no",b)
for b in "alnum alpha ascii blank cntrl digit graph lower print punct space upper xdigit word".split():
    B["[:%s:]"%b]=prop("[[:%s:]]"%b)
for e in r"\w \d \s \h .".split(): B[e]=prop(e)
B["R"]=prop(r"\R")
R["binary"]=B
# pre-tokenizers
pairs="".join("x"+c for c in ALL)
def isolated(pre):
    return {ord(pairs[o[0]]) for _,o in pre.pre_tokenize_str(pairs) if o[1]-o[0]==1 and o[0]%2==1}
R["punct"]=isolated(pre_tokenizers.Punctuation("isolated"))
R["numeric"]=isolated(pre_tokenizers.Digits(True))
cov=bytearray(len(pairs))
for _,o in pre_tokenizers.WhitespaceSplit().pre_tokenize_str(pairs):
    cov[o[0]:o[1]]=b"\1"*(o[1]-o[0])
R["white"]={CODES[i] for i in range(len(CODES)) if not cov[2*i+1]}
word=set(); sp=set(CODES)
for _,o in pre_tokenizers.Whitespace().pre_tokenize_str(pairs):
    for i in range(o[0],o[1]):
        if i%2: 
            sp.discard(ord(pairs[i]))
            if o[1]-o[0]>1: word.add(ord(pairs[i]))
R["rustword"]=word; R["rustspace"]=sp
def per(norm,M="\ue000"):
    out={}
    codes=[c for c in CODES if c!=ord(M)]
    step=200000
    for i in range(0,len(codes),step):
        part=codes[i:i+step]
        s=norm.normalize_str("".join(M+chr(c) for c in part)).split(M)[1:]
        assert len(s)==len(part)
        for c,r in zip(part,s):
            if r!=chr(c): out[c]=r
    return out
bn=lambda **k: normalizers.BertNormalizer(**({"clean_text":False,"handle_chinese_chars":False,"strip_accents":False,"lowercase":False}|k))
R["clean"]=per(bn(clean_text=True),"x"); R["chinese"]=per(bn(handle_chinese_chars=True)); R["accents"]=per(bn(strip_accents=True))
R["lower"]=per(normalizers.Lowercase()); R["stripaccents"]=per(normalizers.StripAccents()); R["nmt"]=per(normalizers.Nmt())
R["nfd"]=per(normalizers.NFD()); R["nfkd"]=per(normalizers.NFKD()); R["nfc"]=per(normalizers.NFC()); R["nfkc"]=per(normalizers.NFKC())
CODES=[c for c in CODES if c!=0xE000]
n=normalizers.NFD(); M="\ue000"
s=n.normalize_str("".join(M+"\u0345"+chr(c) for c in CODES)).split(M)[1:]
assert len(s)==len(CODES)
nz=[c for c,r in zip(CODES,s) if not r.startswith("\u0345") and c not in R["nfd"]]+[0x345]
reps={}
for c in nz: reps.setdefault(unicodedata.combining(chr(c)),chr(c))
print(sorted(reps), len(nz))
classes=sorted(k for k in reps if k)
out={}
for c in nz:
    k=0
    for q in classes:
        if not n.normalize_str(M+reps[q]+chr(c)).startswith(M+reps[q]) : k+=1
    out[c]=k
R["ccc_raw"]=out;R["classes"]=classes;R["nz"]=nz
def enc(nums):
    out=[]
    for n in nums:
        while True:
            d=n&31; n>>=5
            if n: out.append(chr(0x3F+32+d))
            else:
                out.append(chr(0x3F+d)); break
    s="".join(out)
    return "\n".join(s[i:i+114] for i in range(0,len(s),114))
def lit(name,nums,doc,kind="static let"):
    body=enc(nums)
    ind="\n".join("        "+l for l in body.split("\n"))
    return f'    /// {doc}\n    {kind} {name}: StaticString = #"""\n{ind}\n        """#\n'
def setnums(s):
    out=[];prev=0;inn=False
    c=0
    pts=sorted(s)
    runs=[]
    for p in pts:
        if runs and runs[-1][1]==p-1: runs[-1][1]=p
        else: runs.append([p,p])
    nxt=0
    for a,b in runs:
        out.append(a-nxt); out.append(b-a+1); nxt=b+1
    return out
CN="Cn Cc Cf Co Cs Ll Lm Lo Lt Lu Mc Me Mn Nd Nl No Pc Pd Pe Pf Pi Po Ps Sc Sk Sm So Zl Zp Zs".split()
def runs(f):
    out=[];cur=None;n=0
    for c in range(N):
        v=f(c)
        if v!=cur:
            if n: out+= [n,cur]
            cur=v;n=0
        n+=1
    out+=[n,cur]
    return out
cats=R["cats"]
o=[]
o.append(lit("categories",runs(lambda c: CN.index("Cs" if 0xD800<=c<0xE000 else cats.get(c,"Cn"))),"General categories: how many scalars, and the place of their category in `UnicodeData.categoryNames`."))
sn=sorted(set(R["scripts"].values()))
si={n:i for i,n in enumerate(sn)}
# surrogates count as Unknown, at no cost
last=[0]
def sc(c):
    if 0xD800<=c<0xE000: return si["Unknown"]
    return si[R["scripts"].get(c,"Unknown")]
o.append(lit("scripts",runs(sc),"Scripts: how many scalars, and the place of their script in `scriptNames`."))
names=[]
line="        "
for n in sn:
    t=f'"{n}", '
    if len(line)+len(t)>119: names.append(line.rstrip()); line="        "
    line+=t
names.append(line.rstrip())
o.append("    /// Scripts by name.\n    static let scriptNames = [\n"+"\n".join(names)+"\n    ]\n")
B=R["binary"]
keep="Alphabetic Uppercase Lowercase Emoji Emoji_Presentation Emoji_Modifier Emoji_Modifier_Base Emoji_Component Extended_Pictographic ID_Start ID_Continue XID_Start XID_Continue Cased Case_Ignorable Math Hex_Digit ASCII_Hex_Digit Default_Ignorable_Code_Point Diacritic Dash Hyphen Ideographic Unified_Ideograph Radical Quotation_Mark Terminal_Punctuation Sentence_Terminal Variation_Selector Pattern_Syntax Pattern_White_Space Join_Control Grapheme_Extend Extender Noncharacter_Code_Point Regional_Indicator Soft_Dotted White_Space".split()
missing=[k for k in keep if k not in B]; print("missing",missing)
keep=[k for k in keep if k in B]
o.append("    /// Binary properties by name.\n    static let properties: [(String, StaticString)] = [\n"+"".join(f'        ("{k}", {k[0].lower()+k[1:].replace("_","")}),\n' for k in keep)+"    ]\n")
for k in keep:
    o.append(lit(k[0].lower()+k[1:].replace("_",""),setnums(B[k]),f"`{k}`.","private static let" if k!="White_Space" else "static let"))
# checks of derived classes
cat=lambda *ks: {c for c in range(N) if not 0xD800<=c<0xE000 and cats.get(c,"Cn") in ks}
W=B["Alphabetic"]|cat("Mc","Me","Mn","Nd","Pc")|{0xB2,0xB3,0xB9,0xBC,0xBD,0xBE}
for nm,a,b in [("w",B["\\w"],W),("d",B["\\d"],cat("Nd")),("s",B["\\s"],B["White_Space"]),("alnum",B["[:alnum:]"],B["Alphabetic"]|cat("Nd")),("alpha",B["[:alpha:]"],B["Alphabetic"]),
  ("blank",B["[:blank:]"],cat("Zs")|{9}),("cntrl",B["[:cntrl:]"],cat("Cc")),("digit",B["[:digit:]"],cat("Nd")),("graph",B["[:graph:]"],set(range(N))-set(range(0xD800,0xE000))-cat("Cc","Cn")-B["White_Space"]),
  ("print",B["[:print:]"],set(range(N))-set(range(0xD800,0xE000))-cat("Cc","Cn","Zl","Zp")),("punct",B["[:punct:]"],cat("Pc","Pd","Pe","Pf","Pi","Po","Ps")|set(map(ord,"$+<=>^`|~"))),("lower",B["[:lower:]"],B["Lowercase"]),("upper",B["[:upper:]"],B["Uppercase"]),
  ("xdigit",B["[:xdigit:]"],B["ASCII_Hex_Digit"]),("h",B["\\h"],B["ASCII_Hex_Digit"]),("word",B["[:word:]"],W),("pPunct",B["Punct"],cat("Pc","Pd","Pe","Pf","Pi","Po","Ps")),("pPrint",B["Print"],B["[:print:]"]),("Graph",B["Graph"],B["[:graph:]"]),("Alnum",B["Alnum"],B["[:alnum:]"]),("Space",B["Space"],B["[:space:]"]),("space",B["[:space:]"],B["White_Space"]),("XDigit",B["XDigit"],B["[:xdigit:]"]),("Word",B["Word"],W),("Blank",B["Blank"],B["[:blank:]"])]:
    d=(a^b)
    if d: print("DIFF",nm,len(d),[hex(c) for c in sorted(d)[:12]], len(a),len(b))
o.append(lit("standardWord",setnums(R["rustword"]),"`\\w` of Rust's regex."))
o.append(lit("punctuation",setnums(R["punct"]),"Punctuation of Rust's unicode_categories, and ASCII's."))
o.append(lit("numeric",setnums(R["numeric"]),"Numbers of Rust's standard library."))
o.append(lit("unclean",setnums({c for c,r in R["clean"].items() if r==""}|{0xFFFD}&{c for c,r in R["clean"].items() if r==""}),"What BertNormalizer takes for control characters."))
nfd=R["nfd"]
acc={c for c,r in R["accents"].items() if r=="" and c not in nfd}
# those that decompose must follow
for c,r in R["accents"].items():
    d=nfd.get(c,chr(c)); e="".join(x for x in d if ord(x) not in acc)
    if e!=r: print("accent",hex(c),repr(r),repr(e))
o.append(lit("accents",setnums(acc),"Non-spacing marks of Rust's unicode_categories."))
o.append(lit("combiningMarks",setnums({c for c,r in R["stripaccents"].items() if r==""}),"Combining marks of Rust's unicode-normalization-alignments."))
print("white==",R["white"]^B["White_Space"], "rustspace", R["rustspace"]^R["white"])
print("clean map",[(hex(c),r) for c,r in R["clean"].items() if r!=""][:30])
print("clean white", {c for c,r in R["clean"].items() if r==" "}^R["white"])
print("nmt",[(hex(c),r) for c,r in R["nmt"].items()])
# script runs of scripts.rs
import re
src=open(sys.argv[1]).read()
arms=re.findall(r"0x([0-9A-Fa-f]+)(?:\s*\.\.=\s*0x([0-9A-Fa-f]+))?\s*=>\s*Script::(\w+)",src)
print(len(arms), arms[:3])
m={}
for a,b,s in arms:
    for c in range(int(a,16),int(b or a,16)+1): m.setdefault(c,s)
def fixed(c):
    if c==0x30FC: return "Han"
    if c==0x20: return "Any"
    s=m.get(c,"Any")
    return "Han" if s in("Hiragana","Katakana") else s
sl=["Any"]+sorted({fixed(c) for c in range(N)}-{"Any"})
o.append(lit("scriptRuns",runs(lambda c: sl.index(fixed(c))),"Scripts of the pre-tokenizer UnicodeScripts: how many scalars, and a number of their script; 0 goes with every other."))
open(os.path.join(sys.argv[2], "UnicodeTables.swift"),"w").write("""// Made by Tests/Interop/make_unicode.py of what the Hugging Face library says of each character: do not edit.

/// The tables of the Hugging Face library's dependencies (tokenizers 0.23: Oniguruma and Rust's regex and standard library of Unicode
/// 16, unicode-normalization-alignments of 13 and unicode_categories of 8 or so), as numbers for `UnicodeData.numbers`.
enum UnicodeTables {
"""+"\n".join(o)+"}\n")
# ---- second file: normalisation and case
o=[]
print("punct==P|S", len(B["[:punct:]"]^cat("Pc","Pd","Pe","Pf","Pi","Po","Ps","Sm","Sc","Sk","So")))
H=range(0xAC00,0xD7A4)
nfkd=R["nfkd"]
can=[(c,nfd[c]) for c in sorted(nfd) if c not in H]
com=[(c,nfkd[c]) for c in sorted(nfkd) if c not in H and nfkd[c]!=nfd.get(c,chr(c))]
def dec(list_):
    out=[];prev=0
    for c,s in list_:
        out+=[c-prev,len(s)]; prev=c
        for x in s: out.append(ord(x))
    return out
o.append(lit("canonicalDecompositions",dec(can),"Canonical decompositions: scalars since the last one, how many it becomes, those."))
o.append(lit("compatibilityDecompositions",dec(com),"Compatibility decompositions where they are not the canonical ones."))
classes=R["classes"]
ccc={c:classes[len(classes)-1-n] for c,n in R["ccc_raw"].items() if c not in nfd}
d=[(hex(c),v,unicodedata.combining(chr(c))) for c,v in ccc.items() if v!=unicodedata.combining(chr(c))]
print("ccc diffs",d[:20], len(ccc))
o.append(lit("combiningClasses",runs(lambda c: ccc.get(c,0)),"Canonical combining classes: how many scalars, and their class."))
pairs=[];prev=0
for c,s in can:
    if c in R["nfc"]: continue
    dd=unicodedata.decomposition(chr(c)).split()
    if len(dd)!=2 or dd[0].startswith("<"): print("nopair",hex(c),dd); continue
    pairs+=[c-prev,int(dd[0],16),int(dd[1],16)]; prev=c
print(len(pairs)//3)
o.append(lit("compositions",pairs,"Compositions: scalars since the last one, and the two that make it."))
lows=R["lower"]
ones=[];more=[];prev=0
# differences of lower case: runs of (skip, length, delta zigzag)
lr=[]
for c in sorted(lows):
    if len(lows[c])>1: more.append((c,lows[c])); continue
    dlt=ord(lows[c])-c
    lr.append((c,dlt))
print("multi lower",[(hex(c),s) for c,s in more])
def simple(list_):
    # entries: gap, count, step, zigzag delta
    out=[];i=0;prev=0
    while i<len(list_):
        c,dl=list_[i]; step=1
        if i+1<len(list_) and list_[i+1]==(c+2,dl): step=2
        j=i
        while j+1<len(list_) and list_[j+1]==(list_[j][0]+step,dl): j+=1
        n=j-i+1
        out+=[c-prev,n,step,(dl<<1) if dl>=0 else ((-dl)<<1|1)]
        prev=list_[j][0]; i=j+1
    return out
o.append(lit("lowercase",simple(lr),"Lower case where it is one scalar: scalars since the last one, how many, how far apart, and the difference with its sign in the lowest bit."))
# case folding
fold={}
for c in range(N):
    if 0xD800<=c<0xE000: continue
    f=chr(c).casefold()
    if len(f)==1 and f!=chr(c): fold[c]=ord(f)
    if len(f)>1 and len(chr(c).lower())==1 and chr(c).lower()!=chr(c): fold[c]=ord(chr(c).lower())
cased=[c for c in range(N) if cats.get(c) in("Lu","Ll","Lt")]
new=[c for c in cased if unicodedata.category(chr(c))=="Cn"]
t="".join(map(chr,cased))
for c in new:
    m=normalizers.Replace(Regex("(?i:"+chr(c)+")"),"\u0001").normalize_str(t)
    eq=[cased[i] for i in range(len(m)) if m[i]=="\u0001"]
    low=[e for e in eq if cats[e]=="Ll"] or eq
    for e in eq:
        if e!=low[0]: fold[e]=low[0]
# check all
import collections
cl=collections.defaultdict(set)
for c in cased: cl[fold.get(c,c)].add(c)
for c in fold: cl[fold[c]].add(c); cl[fold[c]].add(fold[c])
allc=sorted(set(cased)|set(fold)|set(fold.values()))
t="".join(map(chr,allc)); bad=0
for c in allc[::3]:
    m=normalizers.Replace(Regex("(?i:"+chr(c)+")"),"\u0001").normalize_str(t)
    if len(m)!=len(t): print("len",hex(c)); continue
    eq={allc[i] for i in range(len(m)) if m[i]=="\u0001"}
    if eq!=cl[fold.get(c,c)]|{c}:
        bad+=1
        if bad<20: print("FOLD",hex(c),list(map(hex,eq)),list(map(hex,cl[fold.get(c,c)])))
o.append(lit("foldings",simple([(c,fold[c]-c) for c in sorted(fold)]),"Case folding to one scalar, as lower case is written."))
multi=[(c,chr(c).casefold()) for c in range(N) if not 0xD800<=c<0xE000 and len(chr(c).casefold())>1]
o.append(lit("longFoldings",dec(multi),"Case folding to several scalars, as decompositions are written."))
open(os.path.join(sys.argv[2], "UnicodeMappings.swift"),"w").write("""// Made by Tests/Interop/make_unicode.py of what the Hugging Face library says of each character: do not edit.

/// Normalisation by Rust's unicode-normalization-alignments, lower case by Rust's standard library and case folding by Oniguruma, as
/// numbers for `UnicodeData.numbers`.
enum UnicodeMappings {
"""+"\n".join(o)+"}\n")
